"""The four nodes: parameters, subscriptions, and one call into the core for each event."""

import os

# Small matrix products only wait for a second thread, which the other nodes need: before numpy is loaded.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
