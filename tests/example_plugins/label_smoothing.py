"""Label smoothing: a true label's target is 1 - amount, a false one's is amount."""

from pydantic import BaseModel, Field

from xmlkit import LossCombiner, hookimpl


class Options(BaseModel, extra="forbid"):
    """Settings."""

    amount: float = Field(0.1, ge=0, lt=0.5, description="how far targets lie from 0 and 1")


class Smoothed(LossCombiner):
    """Mixes the inner costs of both answers."""

    def __init__(self, inner, options):
        super().__init__(inner)
        self.amount = options.amount

    def when_true(self, z, ids):
        true, false = self.inner.when_true(z, ids), self.inner.when_false(z, ids)
        return (1 - self.amount) * true + self.amount * false

    def when_false(self, z, ids):
        true, false = self.inner.when_true(z, ids), self.inner.when_false(z, ids)
        return (1 - self.amount) * false + self.amount * true


@hookimpl(wrapper=True)
def loss(build):
    """Around whatever the loss is."""
    inner = yield
    return Smoothed(inner, build.options(Options))
