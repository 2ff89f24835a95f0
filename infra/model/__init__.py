"""What a context and a projection are made of: the shapes the runtime knows."""
