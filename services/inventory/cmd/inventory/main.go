// Command inventory runs the inventory service. Its settings are environment variables; the
// comments of inventory.Config name them.
package main

import (
	"eventshop.example/pkg/migration"
	"eventshop.example/pkg/service"
	"eventshop.example/services/inventory"
)

func main() {
	service.Main("inventory", inventory.ConfigFromEnv, inventory.Run, migration.Command(inventory.Components()))
}
