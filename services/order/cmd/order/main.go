// Command order runs the order service. Its settings are environment variables; the
// comments of order.Config name them.
package main

import (
	"eventshop.example/pkg/migration"
	"eventshop.example/pkg/service"
	"eventshop.example/services/order"
)

func main() {
	service.Main("order", order.ConfigFromEnv, order.Run, migration.Command(order.Components()))
}
