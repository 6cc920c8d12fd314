package notification

import (
	"errors"
	"fmt"
	"time"

	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/service"
	"eventshop.example/services/notification/internal/app"
	"eventshop.example/services/notification/notification"
)

const (
	// attemptRequests is the maximum number of requests per attempt to send a mail: the mail, and a
	// lookup by key.
	attemptRequests = 2
	// attemptRest is the time that an attempt needs besides its requests: a claim and a transaction.
	attemptRest = 2 * time.Second
)

// Config holds everything that the environment configures. [Config.Settings] describes the fields.
type Config struct {
	participant.Config
	Style          string
	OrderURL       string
	OrderTimeout   time.Duration
	OrderBreaker   participant.Breaker // around the order service
	MailboxURL     string
	MailboxTimeout time.Duration
	MailboxBreaker participant.Breaker // around the mailbox

	SendBackoffBase time.Duration
	SendBackoffMax  time.Duration
}

// Settings declares the environment variables.
func (c *Config) Settings() []service.Setting {
	own := append(c.Config.Settings(),
		service.Text("NOTIFICATION_STYLE", &c.Style, "notification",
			"`notification`: OrderPlaced arrives and the order service is asked for the order; `state`: OrderCreated carries the order"),
		service.Required("ORDER_URL", &c.OrderURL, "the order service's API"),
		service.Duration("ORDER_TIMEOUT", &c.OrderTimeout, 2*time.Second, "one request to the order service"),
	)
	own = append(own, c.OrderBreaker.Settings("ORDER_BREAKER")...)
	own = append(own,
		service.Required("MAILBOX_URL", &c.MailboxURL, "the mail provider's API"),
		service.Duration("MAILBOX_TIMEOUT", &c.MailboxTimeout, 2*time.Second, "one request to the mail provider"),
		service.Duration("SEND_BACKOFF_BASE", &c.SendBackoffBase, 500*time.Millisecond, "wait after the first attempt to send a mail, doubling"),
		service.Duration("SEND_BACKOFF_MAX", &c.SendBackoffMax, 30*time.Second, "longest wait between two attempts, which do not end"),
	)
	return append(own, c.MailboxBreaker.Settings("MAILBOX_BREAKER")...)
}

// Check returns an error that names every variable whose value does not fit.
func (c *Config) Check() error {
	err := c.Config.Check()
	if _, wrong := notification.ParseStyle(c.Style); wrong != nil {
		err = errors.Join(err, fmt.Errorf("NOTIFICATION_STYLE %w", wrong))
	}
	return err
}

// sending returns the configuration of the worker that sends mails.
func (c *Config) sending() app.Sending {
	return app.Sending{
		BackoffBase: c.SendBackoffBase,
		BackoffMax:  c.SendBackoffMax,
		Lease:       attemptRequests*c.MailboxTimeout + attemptRest,
	}
}
