"""What a header has for its callers: real numbers to and from what ports hold, and the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autotiny.engine.kernel import C_TYPE
from autotiny.engine.sources import Port, Raw
from autotiny.graph import Quantization

_NEAREST = """
// The whole number nearest to a real one, of two as near the even one; beyond the ends the last.
static inline int32_t {name}_nearest(float real, int32_t least, int32_t most) {{
  if (!(real > (float)least)) return least;
  if (real >= (float)most) return most;
  const int32_t whole = (int32_t)real;
  const float rest = real < 0 ? (float)whole - real : real - (float)whole;
  const int32_t away = rest > 0.5f || (rest == 0.5f && whole % 2 != 0);
  return real < 0 ? whole - away : whole + away;
}}
"""

_QUANTIZE = """
// A real number as the input holds it.
static inline {c_type} {name}_quantize_input{k}(float real) {{
  const float steps = real / {upper}_INPUT{k}_SCALE;
  return ({c_type})({name}_nearest(steps, {least}, {most}) + {upper}_INPUT{k}_ZERO_POINT);
}}
"""

_PREPARE = """
// Samples as they were stored ({raw}) are divided by this before they are given to the network.
#define {upper}_INPUT{k}_DIVISOR {divisor}

// The same samples as the input holds them.
static inline void {name}_prepare_input{k}(const {raw} *raw, {c_type} *in) {{
  for (int32_t k = 0; k < {upper}_INPUT{k}_SIZE; k++) {{
    in[k] = {value};
  }}
}}
"""

_DEQUANTIZE = """
// The real number that the output holds.
static inline float {name}_dequantize_output{k}({c_type} stored) {{
  return (float)(stored - {upper}_OUTPUT{k}_ZERO_POINT) * {upper}_OUTPUT{k}_SCALE;
}}
"""

_ARGMAX = """
// Where the largest value of the output stands; of equal ones the first.
static inline int32_t {name}_argmax{k}(const {c_type} *out) {{
  int32_t best = 0;
  for (int32_t k = 1; k < {upper}_OUTPUT{k}_SIZE; k++) {{
    if (out[k] > out[best]) best = k;
  }}
  return best;
}}
"""

_QUANTIZED = ("int8", "uint8", "int16")


def conversions(
    name: str, inputs: Sequence[Port], outputs: Sequence[Port], raw: Sequence[Raw | None] = ()
) -> str:
    """What turns numbers into inputs, and outputs into real numbers and answers.

    Args:
        name: of the program.
        inputs: in the order of the graph.
        outputs: likewise.
        raw: what each input was before training, where that is known.
    """
    parts: list[str] = []
    for k, port in enumerate(inputs):
        scale = _scale(port)
        if scale is not None:
            limits = np.iinfo(port.dtype)
            least, most = (end - scale.zero_point for end in (limits.min, limits.max))
            parts.append(_filled(_QUANTIZE, name, port, k, least=least, most=most))
    if parts:
        parts.insert(0, _NEAREST.format(name=name))
    for k, (port, stored) in enumerate(zip(inputs, raw, strict=bool(raw))):
        if stored is not None and (_scale(port) or port.dtype == "float32"):
            real = f"(float)raw[k] / {name.upper()}_INPUT{k or ''}_DIVISOR"
            value = f"{name}_quantize_input{k or ''}({real})" if _scale(port) else real
            told = {"raw": C_TYPE[stored.dtype], "divisor": c_float(stored.divisor)}
            parts.append(_filled(_PREPARE, name, port, k, value=value, **told))
    for k, port in enumerate(outputs):
        if _scale(port) is not None:
            parts.append(_filled(_DEQUANTIZE, name, port, k))
        if np.prod(port.shape, dtype=np.int64) > 1 and port.dtype != "bool":
            parts.append(_filled(_ARGMAX, name, port, k))
    return "".join(parts)


def _filled(text: str, name: str, port: Port, k: int, **more: object) -> str:
    return text.format(name=name, upper=name.upper(), k=k or "", c_type=C_TYPE[port.dtype], **more)


def c_float(value: float) -> str:
    """A C float constant that is exactly this float32."""
    single = np.float32(value)
    if np.isnan(single):
        return "AT_NAN"
    if np.isinf(single):
        return "AT_INFINITY" if single > 0 else "-AT_INFINITY"
    text = np.format_float_scientific(single, unique=True)
    return f"{text}f"


def _scale(port: Port) -> Quantization | None:
    """What turns what a port holds into real numbers, where one scale does."""
    found = port.quantization
    one = found is not None and len(found.scales) == 1 and port.dtype in _QUANTIZED
    return found if one else None
