"""The prompts that models got, and what each prompt gained."""
