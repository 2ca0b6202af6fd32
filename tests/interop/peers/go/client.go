package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

const checkTimeout = 60 * time.Second

type check func(ctx context.Context, url string) (any, error)

var checks = map[string]check{
	"bidi":            bidi,
	"uni":             uni,
	"datagram":        datagram,
	"reset":           reset,
	"stop":            stop,
	"close":           closeSession,
	"reset_by_server": resetByServer,
	"stop_by_server":  stopByServer,
	"close_by_server": closeByServer,
	"reject":          reject,
	"subprotocol":     subprotocol,
	"sessions":        sessions,
	"pool":            pool,
	"transfer":        transfer,
	"drain":           drain,
}

func run(check check, url string) any {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	result, err := check(ctx, url)
	if err != nil {
		return err.Error()
	}
	return result
}

func transport(protocols ...string) *webtransport.Transport {
	return &webtransport.Transport{
		Config:               config,
		TLSClientConfig:      &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}},
		ApplicationProtocols: protocols,
	}
}

func dial(ctx context.Context, url string, protocols ...string) (*webtransport.Session, error) {
	_, session, err := transport(protocols...).Dial(ctx, url, nil)
	return session, err
}

func echoes(ctx context.Context, session *webtransport.Session, data []byte) (bool, error) {
	stream, err := session.OpenStreamSync(ctx)
	if err != nil {
		return false, err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := stream.Write(data)
		sent <- errors.Join(err, stream.Close())
	}()
	answer, err := io.ReadAll(stream)
	return bytes.Equal(answer, data), errors.Join(err, <-sent)
}

// halfOpen is a bidirectional stream that both sides know and neither has finished.
func halfOpen(ctx context.Context, session *webtransport.Session, answered bool) (*webtransport.Stream, error) {
	stream, err := session.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = stream.Write([]byte("x")); err == nil && answered {
		_, err = io.ReadFull(stream, make([]byte, 1))
	}
	return stream, err
}

func payload() []byte {
	data := make([]byte, 100_000) // many packets, and no power of two
	for i := range data {
		data[i] = byte(i % 250)
	}
	return data
}

func bidi(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/echo")
	if err != nil {
		return nil, err
	}
	return echoes(ctx, session, payload())
}

func uni(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/echo")
	if err != nil {
		return nil, err
	}
	stream, err := session.OpenUniStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write(payload()); err != nil {
		return nil, err
	}
	if err := stream.Close(); err != nil {
		return nil, err
	}
	answer, err := session.AcceptUniStream(ctx)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(answer)
	return bytes.Equal(data, payload()), err
}

func datagram(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/echo")
	if err != nil {
		return nil, err
	}
	for _, size := range []int{1, 1000} {
		data := bytes.Repeat([]byte("d"), size)
		if err := session.SendDatagram(data); err != nil {
			return nil, err
		}
		answer, err := session.ReceiveDatagram(ctx)
		if err != nil || !bytes.Equal(answer, data) {
			return false, err
		}
	}
	return true, nil
}

func reset(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/echo")
	if err != nil {
		return nil, err
	}
	stream, err := halfOpen(ctx, session, true)
	if err != nil {
		return nil, err
	}
	stream.CancelWrite(resetCode)
	return echoes(ctx, session, []byte("sync"))
}

func stop(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/echo")
	if err != nil {
		return nil, err
	}
	stream, err := halfOpen(ctx, session, true)
	if err != nil {
		return nil, err
	}
	stream.CancelRead(stopCode)
	if _, err := stream.Write([]byte("y")); err != nil { // a server learns of the stop when it answers this, if not before
		return nil, err
	}
	return echoes(ctx, session, []byte("sync"))
}

func closeSession(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/echo")
	if err != nil {
		return nil, err
	}
	if _, err := echoes(ctx, session, []byte("sync")); err != nil {
		return nil, err
	}
	return true, session.CloseWithError(closeCode, closeReason)
}

// drain goes on after the server has asked for the session's end.
func drain(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/drain")
	if err != nil {
		return nil, err
	}
	if _, err := halfOpen(ctx, session, true); err != nil {
		return nil, err
	}
	return echoes(ctx, session, []byte("sync"))
}

func resetByServer(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/reset")
	if err != nil {
		return nil, err
	}
	stream, err := halfOpen(ctx, session, false)
	if err != nil {
		return nil, err
	}
	_, err = io.ReadAll(stream)
	if code, ok := streamEnd(err); ok {
		return []any{"reset", code}, nil
	}
	return nil, err
}

func stopByServer(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/reset")
	if err != nil {
		return nil, err
	}
	stream, err := halfOpen(ctx, session, false)
	for err == nil {
		time.Sleep(20 * time.Millisecond) // until the server's answer is here
		_, err = stream.Write([]byte("y"))
	}
	if code, ok := streamEnd(err); ok {
		return []any{"stop", code}, nil
	}
	return nil, err
}

func closeByServer(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/close")
	if err != nil {
		return nil, err
	}
	if _, err := halfOpen(ctx, session, false); err != nil {
		return nil, err
	}
	return sessionEnd(session), nil
}

func reject(ctx context.Context, url string) (any, error) {
	response, _, err := transport().Dial(ctx, url+"/reject", nil)
	switch {
	case err == nil:
		return "accepted", nil
	case response == nil:
		return nil, err
	}
	return []any{"rejected", response.StatusCode}, nil
}

func subprotocol(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/echo", "a", "b")
	if err != nil {
		return nil, err
	}
	return session.SessionState().ApplicationProtocol, nil
}

// sessions opens several sessions, one after the other.
func sessions(ctx context.Context, url string) (any, error) {
	for number := range 3 {
		session, err := dial(ctx, url+"/echo")
		if err != nil {
			return nil, err
		}
		if ok, err := echoes(ctx, session, []byte{byte(number)}); err != nil || !ok {
			return ok, err
		}
		if err := session.CloseWithError(0, ""); err != nil {
			return nil, err
		}
	}
	return true, nil
}

// pool opens several sessions at a time on one connection.
func pool(ctx context.Context, url string) (any, error) {
	transport := transport()
	connection, err := quic.DialAddr(ctx, url[len("https://"):], transport.TLSClientConfig,
		&quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.CloseWithError(0, "") }()
	client, err := transport.NewClientConn(connection)
	if err != nil {
		return nil, err
	}
	var opened []*webtransport.Session
	for range 3 {
		_, session, err := client.Dial(ctx, url+"/echo", nil)
		if err != nil {
			return nil, err
		}
		opened = append(opened, session)
	}
	for number, session := range opened {
		if ok, err := echoes(ctx, session, []byte{byte(number)}); err != nil || !ok {
			return ok, err
		}
	}
	return true, nil
}

func transfer(ctx context.Context, url string) (any, error) {
	session, err := dial(ctx, url+"/echo")
	if err != nil {
		return nil, err
	}
	stream, err := session.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	sent, received := sha256.New(), sha256.New()
	failed := make(chan error, 1)
	go func() {
		block := make([]byte, 1<<16)
		for number := range 256 {
			for i := range block {
				block[i] = byte(i * (number + 1) % 251)
			}
			sent.Write(block)
			if _, err := stream.Write(block); err != nil {
				failed <- err
				return
			}
		}
		failed <- stream.Close()
	}()
	size, err := io.Copy(received, stream)
	if err := errors.Join(err, <-failed); err != nil {
		return nil, err
	}
	return size == 16<<20 && bytes.Equal(sent.Sum(nil), received.Sum(nil)), nil
}
