package telemetry_test

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"essworker/internal/telemetry"
)

// BenchmarkLog is the one line a finished event costs. The aim is under 3 µs.
func BenchmarkLog(b *testing.B) {
	for _, form := range []string{"json", "text"} {
		b.Run(form, func(b *testing.B) {
			tel, err := telemetry.Start(b.Context(), telemetry.Config{LogFormat: form}, telemetry.Options{Stderr: io.Discard})
			if err != nil {
				b.Fatal(err)
			}
			logEvents(b, tel.Log)
		})
	}
	b.Run("json unmasked", func(b *testing.B) { logEvents(b, slog.New(slog.NewJSONHandler(io.Discard, nil))) }) //nolint:sloglint // measures the handler
}

func logEvents(b *testing.B, log *slog.Logger) {
	b.Helper()
	b.ReportAllocs()
	cause := errors.New("the vendor is busy")
	for b.Loop() {
		log.LogAttrs(
			b.Context(), slog.LevelInfo, "event",
			slog.String("type", "employee.onboarded"),
			slog.String("id", "0190b3c2-7d4e-7c1a-8f3e-5b1d2c3a4e5f"),
			slog.String("source", "/hr/onboarding"),
			slog.Int("attempt", 2),
			slog.Uint64("stream_seq", 48123),
			slog.Duration("age", 1500*time.Millisecond),
			slog.String("kind", "transient"),
			slog.String("code", "InternalError.System"),
			slog.String("request_id", "fc0b1f6e-53ad-4f6c-9d5c-1d2b7a4e0c11"),
			slog.String("verdict", "retry"),
			slog.Duration("delay", 2*time.Second),
			slog.Duration("duration", 130*time.Millisecond),
			slog.Any("error", cause),
		)
	}
}
