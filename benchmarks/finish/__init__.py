"""Any model's image finished by Stitch, beside what other tools do with it."""
