"""What models were told, and what each prompt brought."""
