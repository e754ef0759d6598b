"""What both sides of the trust boundary must agree on: the jobs that cross it, and the memory that logits cross in.

Lives here: data and layouts only. No code of a candidate, no secret, no decision.
May be used by: `inside` on one side, `launch` and `scoring` on the other. Import its modules one by one.
Trusts: nothing. Each side checks what the other wrote.
"""
