"""Weights from elsewhere become an encoder of vesalius: `vesalius import FILE --as ARCH --out NAME.safetensors`.

Names and shapes are all that weights tell. Strides, dilation (MedicalNet), antialiasing, the order of colours and the
normalisation of the input are not among them: a network that differs only there is not told apart.
"""

from vesalius.foreign.files import flatten, read
from vesalius.foreign.place import Place, locate
from vesalius.foreign.report import Report, compare
from vesalius.foreign.weights import Origin, import_weights

__all__ = ["Origin", "Place", "Report", "compare", "flatten", "import_weights", "locate", "read"]
