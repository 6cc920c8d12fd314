package carrier

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of foreign strings, in bytes.
const (
	maxWord   = 128  // an id, a key, a code, a name
	maxDetail = 1024 // a text for human readers
)

// clean makes a foreign string fit for a text column, an event and a log line. It replaces
// characters instead of dropping them, so that a cleaned key never equals a key of this service.
func clean(s string, limit int) string {
	const replacement = string(utf8.RuneError)
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, replacement))
	if len(s) <= limit {
		return s
	}
	end := limit
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func cleanWords(words ...*string) {
	for _, w := range words {
		*w = clean(*w, maxWord)
	}
}

func (s *shipment) clean() {
	cleanWords(&s.ShipmentID, &s.TrackingID, &s.Carrier, &s.Status, &s.Code)
	s.Detail = clean(s.Detail, maxDetail)
	if s.Shipment != nil {
		s.Shipment.clean()
	}
}

func (u *Update) clean() {
	cleanWords(&u.Key, &u.OrderID, &u.ShipmentID, &u.TrackingID, &u.Carrier, &u.Status)
}
