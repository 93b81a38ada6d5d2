"""The ten topics, each a folder of networks, a LightningModule and a README."""
