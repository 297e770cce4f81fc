"""A batch over the machines of a Ray cluster: the driver reads and records, replicas of the judge judge."""
