// Command shipping runs the shipping service. Its settings are environment variables. `shipping
// settings` lists them.
package main

import (
	"eventshop.example/pkg/participant"
	"eventshop.example/services/shipping"
)

func main() { participant.Main("shipping", "orderId", shipping.Run, shipping.Components()) }
