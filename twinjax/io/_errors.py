"""The one error of this package."""


class MeasurementError(ValueError):
    """A measurement, or a file of them, that cannot be used; the message is one sentence."""
