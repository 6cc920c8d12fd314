// Command notification runs the notification service. Its settings are environment variables.
// `notification settings` lists them.
package main

import (
	"eventshop.example/pkg/participant"
	"eventshop.example/services/notification"
)

func main() {
	participant.Main("notification", "orderId", notification.Run, notification.Components())
}
