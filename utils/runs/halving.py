"""As many samples at a time as the device's memory holds.

What fits is found out while running. So where memory did not suffice, the last digits of an answer may depend on when
that was noticed, and a run that is resumed or shared may differ in them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from utils.errors import UserError
from utils.types import Prediction, Sample

__all__ = ["Halving", "Predictions"]

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")  # CUDA's and MPS's, CPU's

Predictions = Mapping[str, Mapping[str, Sequence[Prediction]]]  # control -> method -> one a sample


class Halving:
    """Asks for a batch at once; where memory does not suffice, for half of it, and for no more from then on.

    Attributes:
        limit: samples at a time; None while all fit.
    """

    def __init__(self, predict: Callable[[Sequence[Sample]], Predictions], release: Callable[[], None]) -> None:
        """Holds what is asked.

        Args:
            predict: answers any number of samples.
            release: gives back what is kept of earlier answers; called before every further part of a batch.
        """
        self.limit: int | None = None
        self._predict, self._release = predict, release

    def __call__(self, samples: Sequence[Sample]) -> dict[str, dict[str, list[Prediction]]]:
        """Returns control -> method -> one Prediction per sample, in order.

        Raises:
            UserError: one sample alone needs more memory than there is.
        """
        answers: dict[str, dict[str, list[Prediction]]] = {}
        done = 0
        while done < len(samples):
            if done:
                self._release()
            some = samples[done : done + (self.limit or len(samples))]
            predictions = self._try(some)
            if predictions is None:
                self._halve(len(some))
                continue
            for control, of_control in predictions.items():
                for method, found in of_control.items():
                    answers.setdefault(control, {}).setdefault(method, []).extend(found)
            done += len(some)
        return answers

    def _try(self, samples: Sequence[Sample]) -> Predictions | None:
        """None where memory did not suffice; the error, which holds on to its tensors, ends with this call."""
        try:
            return self._predict(samples)
        except RuntimeError as error:
            if not any(words in str(error) for words in OUT_OF_MEMORY):
                raise
            if len(samples) == 1:
                said = " ".join(str(error).split()).split(". ")[0]
                raise UserError(
                    f"one sample alone does not fit into the device's memory ({said}); keep the weights in half "
                    "precision with --set ROLE.dtype=bfloat16, run fewer methods at once, or take a smaller config or "
                    "another --device"
                ) from error
            return None

    def _halve(self, tried: int) -> None:
        from accelerate.utils.memory import clear_device_cache  # seconds to import

        self.limit = (tried + 1) // 2
        self._release()
        clear_device_cache(garbage_collection=True)
        print(
            f"{tried} samples at a time do not fit into the device's memory; going on with {self.limit}",
            file=sys.stderr,
            flush=True,
        )
