"""Pictures. Figures are made without a display and returned; whoever asked saves them."""
