"""Model predictive path integral control (Williams et al., ICRA 2017) for differential drive."""

from .config import MPPIConfig
from .controller import MPPIController, MPPIResult

__all__ = ["MPPIConfig", "MPPIController", "MPPIResult"]
