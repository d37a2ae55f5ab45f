"""Names of the metrics, apart from their arithmetic so that showing them imports nothing."""

LABELS = {
    "accuracy": "accuracy",
    "f1": "macro F1",
    "auc": "AUC",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}
