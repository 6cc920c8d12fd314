// Command payment runs the payment service. Its settings are environment variables. `payment
// settings` lists them.
package main

import (
	"eventshop.example/pkg/participant"
	"eventshop.example/services/payment"
)

func main() { participant.Main("payment", "orderId", payment.Run, payment.Components()) }
