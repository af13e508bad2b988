"""Fine-tuning of encoders under segmentation decoders, their scores, and prediction."""
