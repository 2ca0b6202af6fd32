package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

func serve(ended context.Context, certificate, key string) error {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	server := &webtransport.Server{
		H3: &http3.Server{
			Handler:   mux,
			TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}}),
		},
		Config:               config,
		ApplicationProtocols: []string{"b", "c"},
	}
	mux.HandleFunc("/reject", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(rejection) })
	for _, path := range []string{"/echo", "/reset", "/close"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			session, err := server.Upgrade(w, r)
			if err != nil {
				saw("error", err.Error())
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			handle(session, path)
		})
	}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	context.AfterFunc(ended, func() { _ = server.Close() })
	fmt.Printf("listening %d\n", socket.LocalAddr().(*net.UDPAddr).Port)
	if err := server.Serve(socket); ended.Err() == nil {
		return err
	}
	return nil
}

// handle serves one session by its path, until it ends.
func handle(session *webtransport.Session, path string) {
	background := context.Background() // every call ends with the session
	go func() {
		for {
			stream, err := session.AcceptStream(background)
			if err != nil {
				return
			}
			go onBidi(session, path, stream)
		}
	}()
	go func() {
		for {
			stream, err := session.AcceptUniStream(background)
			if err != nil {
				return
			}
			go onUni(session, stream)
		}
	}()
	go func() {
		for {
			datagram, err := session.ReceiveDatagram(background)
			if err != nil {
				return
			}
			if err := session.SendDatagram(datagram); err != nil {
				return
			}
		}
	}()
	saw("close", sessionEnd(session))
}

func onBidi(session *webtransport.Session, path string, stream *webtransport.Stream) {
	buffer := make([]byte, 65536)
	for {
		n, err := stream.Read(buffer)
		if n > 0 {
			switch path {
			case "/reset":
				stream.CancelWrite(resetCode)
				stream.CancelRead(stopCode)
				return
			case "/close":
				_ = session.CloseWithError(closeCode, closeReason)
				return
			}
			if _, err := stream.Write(buffer[:n]); err != nil {
				if code, ok := streamEnd(err); ok {
					saw("stop", code)
				}
				return
			}
		}
		if err == io.EOF {
			_ = stream.Close()
			return
		}
		if err != nil {
			if code, ok := streamEnd(err); ok {
				saw("reset", code)
			}
			return
		}
	}
}

func onUni(session *webtransport.Session, stream *webtransport.ReceiveStream) {
	answer, err := session.OpenUniStreamSync(context.Background())
	if err != nil {
		return
	}
	if _, err := io.Copy(answer, stream); err == nil {
		_ = answer.Close()
	}
}
