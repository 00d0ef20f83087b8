"""What queues jobs and runs them in batches."""
