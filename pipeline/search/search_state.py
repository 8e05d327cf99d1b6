"""All that a search's next epoch follows from, as tensors by name, and back."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.models.masked import MaskedWeight
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.reuse import Provenance
from recycle_pipeline.pipeline.search.batches import TrainingImages
from recycle_pipeline.pipeline.search.memory import check_memory, score_names
from recycle_pipeline.pipeline.search.steps import Steps


class SearchState:
    """The state between two epochs; `checkpoint` lists the names.

    Weights are not in it: they follow from provenance and seed, bit for bit.

    Args:
        masked: the network under search.
        training: its images.
        steps: the engine.
    """

    def __init__(self, masked: MaskedNetwork, training: TrainingImages, steps: Steps) -> None:
        self._masked, self._training, self._steps = masked, training, steps
        self._device = masked.scores[0].device

    @property
    def events(self) -> int:
        """Reuse events so far."""
        return self._masked.events

    def tensors(self) -> dict[str, Tensor]:
        """The tensors themselves where possible, not copies: to be copied before the next step."""
        found = dict(self._fixed())
        for layer in self._masked.layers:
            if layer.provenance is not None:
                found[f"draw.{layer.name}.weight"] = layer.provenance.draw
                found[f"source.{layer.name}.weight"] = layer.provenance.source
        found |= {f"memory.{name}": value for name, value in self._steps.memory().items()}
        found |= {f"carried.{name}": value for name, value in self._steps.carried().items()}
        return found | self._random()

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], events: int) -> None:
        """Takes over what `tensors` gave in a search of the same settings.

        Raises:
            CorruptArtefact: they are of another network; nothing was changed.
        """
        fixed, random = dict(self._fixed()), self._random()
        for name, mine in (fixed | random).items():
            _check(tensors, name, mine.shape, mine.dtype)
        provenance = {
            layer.name: p for layer in self._masked.layers if (p := self._provenance(tensors, layer.name))
        }
        memory, carried = _under("memory.", tensors), _under("carried.", tensors)
        check_memory(memory, self._masked)
        for name, mine in self._steps.carried().items() if carried else ():
            _check(tensors, f"carried.{name}", mine.shape, mine.dtype)
        for name, mine in fixed.items():
            mine.copy_(tensors[name])
        self._masked.restore(provenance, events)
        self._steps.remember(memory, carried)
        self._training.set_random_state(tensors["random.batches"])
        torch.set_rng_state(tensors["random.torch"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self._device)

    def _fixed(self) -> Iterator[tuple[str, Tensor]]:
        """Scores, and what of the network is not of a mask: in every search the same names and shapes."""
        for name, scores in score_names(self._masked).items():
            yield f"score.{name}", scores.detach()
        network = self._masked.network
        masks = {id(b) for m in network.modules() if isinstance(m, MaskedWeight) for b in m.buffers()}
        of_masks = masks | {id(scores) for scores in self._masked.scores}
        for entries in (network.named_parameters(), network.named_buffers()):
            for name, tensor in entries:
                if id(tensor) not in of_masks:
                    yield f"state.{name}", tensor.detach()

    def _random(self) -> dict[str, Tensor]:
        """Torch's own generators are read by custom architectures alone, for example by dropout."""
        states = {"random.batches": self._training.random_state(), "random.torch": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["random.cuda"] = torch.cuda.get_rng_state(self._device)
        return states

    def _provenance(self, tensors: Mapping[str, Tensor], layer: str) -> Provenance | None:
        draw, source = f"draw.{layer}.weight", f"source.{layer}.weight"
        if draw not in tensors and source not in tensors:
            return None
        size = score_names(self._masked)[f"{layer}.weight"].numel()
        _check(tensors, draw, (size,), torch.int16)
        _check(tensors, source, (size,), torch.int32)
        return Provenance(tensors[draw].to(self._device), tensors[source].to(self._device))


def _check(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if name not in tensors:
        raise CorruptArtefact(f"lacks {name}")
    there = tensors[name]
    if (there.shape, there.dtype) != (shape, dtype):
        raise CorruptArtefact(
            f"holds {name} as {there.dtype} {tuple(there.shape)}, not {dtype} {tuple(shape)}"
        )


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
