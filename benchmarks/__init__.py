"""Commands that measure; what they found lies in results/, with command, machine and date."""
