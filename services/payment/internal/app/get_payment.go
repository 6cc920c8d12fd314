package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/services/payment/internal/db"
)

// GetPayment returns an order's payment and its history, oldest first. The error has kind NotFound
// when there is no payment of the order.
func (a *App) GetPayment(ctx context.Context, q db.DBTX, orderID string) (db.Payment, []db.PaymentHistory, error) {
	row, err := db.New(q).GetPayment(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, nil, notFound(orderID)
	}
	if err != nil {
		return row, nil, fmt.Errorf("load payment: %w", err)
	}
	history, err := db.New(q).GetHistory(ctx, orderID)
	if err != nil {
		return row, nil, fmt.Errorf("load history: %w", err)
	}
	return row, history, nil
}
