//! Finding the route of a request.

use std::fmt;
use std::pin::Pin;

use hyper::Method;
use percent_encoding::percent_decode_str;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Result;

/// What answers a request.
pub type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;

/// One line of the route table.
pub struct Route {
    /// The method; any when absent.
    pub method: Option<Method>,
    /// The path without its version. `{name}` stands for one segment, `{name...}` for one or more.
    pub pattern: &'static str,
    /// The handler's name, for people.
    pub name: &'static str,
    /// The handler.
    pub handler: Handler,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_ref().map_or("ANY", Method::as_str);
        write!(f, "{method} {} {}", self.pattern, self.name)
    }
}

/// The parameters of a path, in their order.
pub type Params = Vec<(&'static str, String)>;

/// The first route that fits, with the path's parameters.
pub fn find<'a>(routes: &'a [Route], method: &Method, path: &str) -> Option<(&'a Route, Params)> {
    routes
        .iter()
        .filter(|route| route.method.as_ref().is_none_or(|wanted| wanted == method))
        .find_map(|route| Some((route, fit(route.pattern, path)?)))
}

/// Whether `path` has the form of `pattern`, and its parameters, decoded.
pub fn fit(pattern: &'static str, path: &str) -> Option<Params> {
    let mut params = Vec::new();
    let mut wanted = pattern.split('/');
    let mut found: Vec<&str> = path.split('/').rev().collect();
    while let Some(segment) = wanted.next() {
        let Some(name) = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        else {
            if found.pop()? != segment {
                return None;
            }
            continue;
        };
        let value = match name.strip_suffix("...") {
            // As much as the rest of the pattern leaves over.
            Some(_) => {
                let count = found.len().checked_sub(wanted.clone().count())?;
                let mut taken = found.split_off(found.len() - count);
                taken.reverse();
                taken.join("/")
            }
            None => found.pop()?.to_owned(),
        };
        if value.is_empty() {
            return None;
        }
        let value = percent_decode_str(&value).decode_utf8_lossy().into_owned();
        params.push((name.strip_suffix("...").unwrap_or(name), value));
    }
    found.is_empty().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_paths() {
        let table: &[(&str, &str, Option<&[&str]>)] = &[
            ("/info", "/info", Some(&[])),
            ("/info", "/info/", None),
            ("/info", "/", None),
            (
                "/containers/{name}/json",
                "/containers/web/json",
                Some(&["web"]),
            ),
            ("/containers/{name}/json", "/containers//json", None),
            ("/containers/{name}/json", "/containers/json", None),
            ("/containers/{name}/json", "/containers/a/b/json", None),
            (
                "/containers/{name}/json",
                "/containers/a%2Fb/json",
                Some(&["a/b"]),
            ),
            (
                "/images/{name...}/json",
                "/images/busybox:1/json",
                Some(&["busybox:1"]),
            ),
            (
                "/images/{name...}/json",
                "/images/a.b:5000/c/d:1/json",
                Some(&["a.b:5000/c/d:1"]),
            ),
            ("/images/{name...}/json", "/images/json", None),
            ("/images/{name...}/json", "/images//json", None),
            ("/images/{name...}", "/images/a/b", Some(&["a/b"])),
            ("/images/{name...}", "/images/", None),
            ("/images/{name...}", "/images", None),
        ];
        for (pattern, path, expected) in table {
            let values = fit(pattern, path).map(|params| {
                params
                    .into_iter()
                    .map(|(_, value)| value)
                    .collect::<Vec<_>>()
            });
            let expected = expected.map(|values| values.iter().map(ToString::to_string).collect());
            assert_eq!(values, expected, "{pattern} {path}");
        }
        assert_eq!(
            fit("/exec/{id}/start", "/exec/x/start"),
            Some(vec![("id", "x".to_owned())])
        );
    }
}
