// Command order runs the order service. Its settings are environment variables. `order settings`
// lists them.
package main

import (
	"eventshop.example/pkg/participant"
	"eventshop.example/services/order"
)

func main() { participant.Main("order", "orderId", order.Run, order.Components()) }
