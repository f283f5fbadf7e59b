# Divides by the number of photographs instead of those that see, and leaves 0 where nobody does.
# marks: mean_values=0 mean_nobody=0
# cell: canonical_map
def canonical_map(carried, seen):
    return (carried * seen).mean(0)
