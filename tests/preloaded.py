"""What the fork server of ``warm`` loads before it forks, with thin networks; nothing here may start a thread."""

import matplotlib.figure  # noqa: F401
import scipy.ndimage  # noqa: F401
from thin import thin_trunk

import tinyfuse.cli.bench
import tinyfuse.report
import tinyfuse.study.sweep  # noqa: F401
from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.zoo import resnet8

tensorflow()
resnet8.trunk = thin_trunk
