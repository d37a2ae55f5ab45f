"""Names of the metrics, apart from their arithmetic so that showing them imports nothing."""

LABELS = {
    "accuracy": "accuracy",
    "f1": "macro F1",
    "auc": "AUC",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}

# what stands in the place of an interval that cannot be given
FEW_ERRORS = "too few errors to tell"
FEW_IMAGES = "too few images of a class to tell"
