"""What several copies of the service behind a balancer share, through Redis: results, operations and limits."""
