"""What a recorder that failed leaves in the device's memory: nothing, once it is let go of."""

import pytest
import torch

from recycle_pipeline.pipeline.search.graphs import REHEARSALS, Recorder, let_go

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@on_cuda
@pytest.mark.parametrize("when", (1, REHEARSALS + 1), ids=("in a rehearsal", "while it is captured"))
def test_on_cuda_a_recorder_that_ran_out_of_memory_leaves_nothing(when):
    device, held, calls = torch.device("cuda"), [], []

    def work():
        calls.append(len(calls) + 1)
        held[:] = [torch.ones(1 << 20, device=device)]
        if calls[-1] >= when:
            held.append(torch.empty(1 << 30, device=device))

    let_go()
    before, whole = torch.cuda.memory_reserved(), torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((before + (256 << 20)) / whole)
    try:
        with pytest.raises(RuntimeError):  # the allocator's, or that of the capture that it spoilt
            Recorder(device).record(work, lambda: None)
        assert len(calls) == when
        held.clear()
        let_go()
        assert torch.cuda.memory_reserved() <= before
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
