"""smartcharge: the load-balancing and smart-charging controller a site runs on its own box."""

import os

# Our matrices are small.  While other processes keep the CPUs busy, OpenBLAS's threads wait for one another: a product
# of 36 x 200 numbers then took 8 ms instead of 3 us.  It is read when numpy is first imported, so it must come first.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
