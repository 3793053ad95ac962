"""The customer's room: a wallet, lanes and vouchers, bills from public data, and the loop that pays them."""
