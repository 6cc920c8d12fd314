// Command payment runs the payment service. Its settings are environment variables; the
// comments of payment.Config name them.
package main

import (
	"eventshop.example/pkg/migration"
	"eventshop.example/pkg/service"
	"eventshop.example/services/payment"
)

func main() {
	service.Main("payment", payment.ConfigFromEnv, payment.Run, migration.Command(payment.Components()))
}
