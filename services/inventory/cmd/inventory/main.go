// Command inventory runs the inventory service. Its settings are environment variables. `inventory
// settings` lists them.
package main

import (
	"eventshop.example/pkg/participant"
	"eventshop.example/services/inventory"
)

func main() { participant.Main("inventory", "orderId", inventory.Run, inventory.Components()) }
