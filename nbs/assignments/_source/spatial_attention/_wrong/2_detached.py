# The weights are detached, "to save memory": values learn, queries and keys do not.
# marks: attend_nothing=0 attend_gradients=0
# cell: attend
def attend(query, key, value, valid, temperature=1.0):
    if temperature <= 0:
        raise refuse("temperature", "a number above 0", temperature)
    products = query @ key.transpose(1, 2) / temperature
    products = products.masked_fill(~valid[:, None], torch.finfo(products.dtype).min)
    weights = (torch.softmax(products, dim=-1) * valid[:, None]).detach()
    return weights @ value, weights
