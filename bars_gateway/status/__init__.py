"""What people and machines see of the running gateway: page, health, figures."""
