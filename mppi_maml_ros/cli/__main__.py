"""``python -m mppi_maml_ros.cli``, which torchrun starts with ``-m``."""

import sys

from .main import main

sys.exit(main())
