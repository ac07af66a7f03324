"""MPPI for differential-drive robots with a meta-learned residual that adapts online.

The packages, in the order of their dependencies: ``core`` <- ``dynamics``, ``safety`` <-
``mppi``, ``weights``, ``simulation`` <- ``adaptation``, ``meta`` <- ``experiments``,
``ros`` <- ``nodes``, ``cli``. Only ``ros`` and ``nodes`` know ROS.
"""

from pkgutil import extend_path

# rosidl installs the generated msg/ and srv/ packages beside this module. When the source
# folder shadows the installed one (python -m pytest at the root) they are found through it.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
