"""Peak learning rates where the user gives none."""

# by optimizer: of pretrained networks, and from scratch
DEFAULT_RATES = {
    "adamw": (1e-3, 2e-3),
    "adam": (1e-3, 2e-3),
    "rmsprop": (3e-4, 1e-3),
    "sgd": (1e-2, 5e-2),
}
