import pytest
import torch
from tests.toys import toy_checkpoint

from holdfast.core import Message
from holdfast.models import load


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """The folder of a toy of a family, written once."""
    made = {}

    def folder(family="llama", **changes):
        key = (family, repr(sorted(changes.items())))
        if key not in made:
            path = tmp_path_factory.mktemp("toys") / family
            made[key] = toy_checkpoint(path, family, **changes)
        return made[key]

    return folder


@pytest.fixture(scope="session")
def handle_of(toy):
    """A handle on such a toy, loaded once: tests must leave it as it was."""
    made = {}

    def handle(family="llama", **changes):
        key = (family, repr(sorted(changes.items())))
        if key not in made:
            made[key] = load(toy(family, **changes), device="cpu")
        made[key].meter.reset()
        return made[key]

    return handle


@pytest.fixture
def prompts():
    """Chats of different lengths, one with a system turn, one of several turns."""
    user = [Message("user", t) for t in ("what does a warden carry", "be brief", "a lamp")]
    return [
        [Message("system", "answer in one line"), user[0]],
        [user[1]],
        [user[2], Message("assistant", "of red glass"), Message("user", "and at the river?")],
        [Message("user", "first warm the wax then pour it then turn the wheel then wait")],
    ]


@pytest.fixture
def state():
    """Everything about a model that must be as it was: bits, flags, names, hooks, modes."""

    def take(handle):
        model = handle.model
        tensors = [*model.named_parameters(), *model.named_buffers()]
        return (
            {n: t.detach().clone() for n, t in tensors},
            [(n, p.requires_grad, p.grad is None) for n, p in model.named_parameters()],
            [(n, m, m.training) for n, m in model.named_modules()],
            sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()),
            sorted(vars(model)),
        )

    return take


@pytest.fixture
def same_state():
    def check(before, after):
        assert before[1:] == after[1:]
        assert before[0].keys() == after[0].keys()
        for name, values in before[0].items():
            assert torch.equal(values, after[0][name]), name

    return check
