"""What both sides of the trust boundary share: the jobs that cross it, and the memory that carries logits across.

Lives here: data and layouts only. No code of a candidate, no secret, no decision.
May be used by: `inside` on one side, `launch` and `scoring` on the other. Import its modules one by one.
Trusts: nothing. Each side checks what the other wrote.
"""
