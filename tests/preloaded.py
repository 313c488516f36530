"""What the fork server of ``warm`` loads before it forks; nothing here may start a thread.

Networks are thin, and pages show no pictures: drawing them takes longer than the rest of a page.
"""

import matplotlib.figure  # noqa: F401
import scipy.ndimage  # noqa: F401
from thin import thin_trunk

import tinyfuse.cli.bench
import tinyfuse.report
import tinyfuse.study.sweep  # noqa: F401
from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.zoo import resnet8
from tinyfuse.report import page

tensorflow()
resnet8.trunk = thin_trunk
page.to_svg = lambda figure: "<svg></svg>"
