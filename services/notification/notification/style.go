package notification

import (
	"time"

	"eventshop.example/pkg/errs"
)

// Style is how the service learns what an order contains.
type Style string

// The styles.
const (
	ByNotification Style = "notification" // OrderPlaced names the order, and the order service shows it
	ByState        Style = "state"        // OrderCreated carries it
)

// ParseStyle returns the style of a setting. "" is ByNotification.
func ParseStyle(text string) (Style, error) {
	switch s := Style(text); s {
	case "":
		return ByNotification, nil
	case ByNotification, ByState:
		return s, nil
	}
	return "", errs.New(errs.Invalid, "must be %s or %s, not %.40q", ByNotification, ByState, text)
}

// Placed returns the input that an OrderPlaced of a time is. Orders from before since get no mail.
func (s Style) Placed(at, since time.Time) Input {
	return s.input(at, since, ByNotification, OrderPlaced, OrderPlacedOut)
}

// Created is [Style.Placed] for an OrderCreated.
func (s Style) Created(at, since time.Time) Input {
	return s.input(at, since, ByState, OrderCreated, OrderCreatedOut)
}

func (s Style) input(at, since time.Time, of Style, own, other Input) Input {
	switch {
	case at.Before(since):
		return OldOrder
	case s == of:
		return own
	}
	return other
}
