package cli

import (
	"fmt"
	"io"
	"strings"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/stack"
)

// about lists the shop's processes with the URLs for users.
func about() [][2]string {
	return [][2]string{
		{"order", "POST /orders, GET /orders/{id}, GET /orders/{id}/events, POST /orders/{id}/cancel"},
		{"payment", "GET /payments/{orderId}"},
		{"inventory", "GET /stock, POST /stock/{sku}/receipts, GET /reservations/{orderId}"},
		{"shipping", "GET /shipments/{orderId}"},
		{"projection", "GET /orders, GET /orders/{id}, GET /customers/{id}/orders, GET /revenue"},
		{"orchestrator", "GET /sagas/{orderId}, GET /sagas, GET /definitions, POST /sagas/{orderId}/retry"},
		{"notification", "GET /mails/{orderId}"},
		{stack.Gateway, "GET /v1/ledger, POST /faults (simulated)"},
		{stack.Carrier, "GET /v1/updates, POST /faults (simulated)"},
		{stack.Mailbox, "GET /v1/mails, POST /faults (simulated)"},
		{stack.Registry, "GET /subjects"},
	}
}

// printOpen prints the shop's addresses and its stored settings.
func printOpen(out io.Writer, s *stack.Stack) error {
	var rows [][]string
	for _, one := range about() {
		if url := s.File().URL[one[0]]; url != "" {
			rows = append(rows, []string{one[0], url, one[1]})
		}
	}
	rows = append(rows, []string{"kafka", strings.Join(s.File().Kafka, ",")})
	fmt.Fprintln(out, "\nThe shop is open:")
	if err := term.Columns(out, []string{"", "", ""}, rows); err != nil {
		return err
	}
	return printSettings(out, s.Settings(), "\nIt goes by earlier settings; `shop settings reset` forgets them:")
}

// mostSettings bounds the settings in a summary; `shop settings` lists all.
const mostSettings = 6

// printSettings prints some of the settings under a heading, a line per kind.
func printSettings(out io.Writer, all []stack.Setting, heading string) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintln(out, heading)
	var kinds []stack.SettingKind
	byKind := map[stack.SettingKind][]string{}
	for _, one := range all {
		if byKind[one.Kind] == nil {
			kinds = append(kinds, one.Kind)
		}
		byKind[one.Kind] = append(byKind[one.Kind], line(one.Name+"="+one.Value, 80))
	}
	var rows [][]string
	for _, kind := range kinds {
		texts := byKind[kind]
		if n := len(texts); n > mostSettings {
			texts = append(texts[:mostSettings:mostSettings], fmt.Sprintf("and %d more", n-mostSettings))
		}
		rows = append(rows, []string{"", string(kind), strings.Join(texts, " ")})
	}
	return term.Columns(out, []string{"", "", ""}, rows)
}
