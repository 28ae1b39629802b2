"""The only place, beside the nodes themselves, that knows rclpy: conversions, QoS, node base class, diagnostics."""
