"""smartcharge: the load-balancing and smart-charging controller a site runs on its own box."""
