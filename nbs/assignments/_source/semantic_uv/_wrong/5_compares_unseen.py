# Compares whole charts, also where one of the two photographs sees nothing.
# marks: choose_values=0 choose_overlap=0
# cell: choose
def choose(carried, seen, error, count):
    if not 1 <= count <= len(carried):
        raise refuse("count", f"a number from 1 to {len(carried)}", count)
    best = int(error.argmin())
    gap = (carried - carried[best]).square().sum((1, 2, 3))
    gap[best] = -1.0
    return gap.argsort(stable=True)[:count]
